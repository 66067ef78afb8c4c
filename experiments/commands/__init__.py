"""The subcommands of `maxinv`: each module has EXAMPLE, add_arguments(parser) and run(options)."""
