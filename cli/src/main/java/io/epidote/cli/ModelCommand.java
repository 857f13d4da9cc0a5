package io.epidote.cli;

import picocli.CommandLine.Command;

@Command(
    name = "model",
    description = "Says what a model is.",
    mixinStandardHelpOptions = true,
    synopsisSubcommandLabel = "COMMAND",
    subcommands = {ModelInspectCommand.class})
final class ModelCommand {}
