"""The study of depth: gradients, training, and sensitivity to the steps, from 4 to 512 layers."""
