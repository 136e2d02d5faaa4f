"""Real processes: a parameter server and its workers, and synchronous and hierarchical jobs over `torch.distributed`."""
