"""How good a detector is: figures against labels, and protocols under which several are compared."""
