"""From mean squared displacements to conductivity, sites and jumps."""
