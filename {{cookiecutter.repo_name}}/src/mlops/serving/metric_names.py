"""Names of metrics that the server shows and `mlops.drift` reads."""

EXAMPLES = "model_examples_total"
SUM = "model_input_statistic_total"
SQUARES = "model_input_statistic_squares_total"
TRAINING = "model_training_statistic"  # the mean and the sd over the training inputs
INFO = "model_info"
