"""What monitors read: metrics, the access log, formats of log lines, traces."""
