"""What the benchmarks measure with: adapters, hubs, nginx, CPU time of processes."""
