"""A discrete-event simulation of a deployment: queues, pods, autoscaling, crashes. `simulate.run` is the way in."""
