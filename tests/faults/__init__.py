"""What goes wrong outside: killed workers, racing publishers, a store that fails, full disks, wrong clocks, secrets."""
