"""Stretches of time that are known: single ones, recurrences, public holidays; and which points lie in them."""
