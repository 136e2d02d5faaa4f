"""The commands of `asgd`, a module a group, each imported when it is called."""
