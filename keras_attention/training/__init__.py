"""What fit needs beyond Keras: losses and metrics that know padding."""
