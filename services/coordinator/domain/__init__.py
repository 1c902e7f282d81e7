"""Pure decisions about tasks, agents and dispatch: values in, values out, time is an argument."""
