"""kan4ml's hardware generators: the hls4ml backend, the table RTL generator, estimates, reports and the command line."""
