"""Who is calling, and what they may do: users, tokens, roles, and the gate before every door."""
