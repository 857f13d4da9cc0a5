package io.epidote.cli;

import picocli.CommandLine.Command;

@Command(
    name = "bench",
    description = "Measures parts of the system on this machine.",
    mixinStandardHelpOptions = true,
    synopsisSubcommandLabel = "COMMAND",
    subcommands = {
      BenchEngineCommand.class,
      BenchMemoryCommand.class,
      BenchCompareCommand.class,
      BenchRolesCommand.class,
      BenchDatapathCommand.class,
      BenchQualityCommand.class,
      BenchRouterCommand.class,
      BenchServeCommand.class,
      BenchOverloadCommand.class,
      BenchTransferCommand.class,
      BenchAdaptersCommand.class
    })
final class BenchCommand {}
