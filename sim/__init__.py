"""kan4ml's simulations: csim, RTL co-simulation, and the equivalence checks between stations."""
