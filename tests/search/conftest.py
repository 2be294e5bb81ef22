import torch

# two test runs on one machine would wait for each other's threads
torch.set_num_threads(1)
