"""What runs batches: a device with a SuperNet on it, a process around it, and sleepers of known latency for tests."""
