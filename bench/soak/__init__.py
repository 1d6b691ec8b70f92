"""A site on real parts under steady load, while one part after another fails: nothing acknowledged may be lost."""
