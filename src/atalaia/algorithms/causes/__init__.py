"""Which service or asset an incident began in: shifts of metrics, and a walk along the graph of calls."""
