"""The real-time service: sources in, masks out, one FIFO memory per stream."""
