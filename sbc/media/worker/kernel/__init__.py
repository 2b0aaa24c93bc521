"""The kernel engine: flows relayed by a BPF program at TC ingress, beside the userland loop (`engine.open_kernel`)."""
