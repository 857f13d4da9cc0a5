package io.epidote.cli;

import static java.util.Objects.requireNonNull;

import io.epidote.router.access.KeyFile;
import io.epidote.router.access.TenantLimits;
import java.nio.file.Path;
import java.util.concurrent.Callable;
import org.jspecify.annotations.Nullable;
import picocli.CommandLine.Command;
import picocli.CommandLine.Mixin;
import picocli.CommandLine.Model.CommandSpec;
import picocli.CommandLine.Option;
import picocli.CommandLine.ParameterException;
import picocli.CommandLine.Parameters;
import picocli.CommandLine.Spec;

@Command(
    name = "keys",
    description =
        "Makes and removes the API keys of a router's --api-keys, which reads them again.",
    mixinStandardHelpOptions = true,
    footerHeading = "%nExamples:%n",
    footer = {
      "  epidote keys add --tenant acme --requests-per-second 5 --tokens-per-second 2000",
      "  epidote keys list",
      "  epidote keys remove 3f9a0c21b7de"
    },
    subcommands = {KeysCommand.Add.class, KeysCommand.ListKeys.class, KeysCommand.Remove.class})
final class KeysCommand implements Runnable {
  @Spec private @Nullable CommandSpec spec;

  @Override
  public void run() {
    throw new ParameterException(requireNonNull(spec).commandLine(), "Name a command");
  }

  /** Where the keys are. */
  static final class KeyFileOption {
    @Option(
        names = "--file",
        paramLabel = "FILE",
        description = "The file of keys. Default: ${DEFAULT-VALUE}.")
    Path file = Path.of("keys.json");
  }

  @Command(
      name = "add",
      description =
          "Adds a key and prints it, once: the file has its digest alone. Limits are the tenant's, for all of its keys.",
      mixinStandardHelpOptions = true)
  static final class Add implements Callable<Integer> {
    @Mixin private KeyFileOption keys = new KeyFileOption();

    @Option(
        names = "--tenant",
        required = true,
        paramLabel = "NAME",
        description = "Whose requests come with it.")
    private String tenant = "";

    @Option(
        names = "--requests-per-second",
        paramLabel = "N",
        description = "On average; ten seconds of it may come at once. Default: no bound.")
    private @Nullable Double requests;

    @Option(
        names = "--tokens-per-second",
        paramLabel = "N",
        description = "Likewise, tokens of prompts and answers. Default: no bound.")
    private @Nullable Double tokens;

    @Option(
        names = "--tokens-per-day",
        paramLabel = "N",
        description =
            "Tokens of prompts and answers from midnight to midnight, UTC. Default: no bound.")
    private @Nullable Long day;

    @Option(
        names = "--concurrent",
        paramLabel = "N",
        description = "Requests at a time. Default: no bound.")
    private @Nullable Integer concurrent;

    @Override
    public Integer call() {
      boolean said = requests != null || tokens != null || day != null || concurrent != null;
      TenantLimits limits =
          new TenantLimits(
              requests == null ? 0 : requests,
              tokens == null ? 0 : tokens,
              day == null ? 0 : day,
              concurrent == null ? 0 : concurrent);
      System.out.println(KeyFile.add(keys.file, tenant, said ? limits : null));
      return 0;
    }
  }

  @Command(
      name = "list",
      description = "Shows the id, day and tenant of each key.",
      mixinStandardHelpOptions = true)
  static final class ListKeys implements Callable<Integer> {
    @Mixin private KeyFileOption keys = new KeyFileOption();

    @Override
    public Integer call() {
      KeyFile.read(keys.file).lines().forEach(System.out::println);
      return 0;
    }
  }

  @Command(
      name = "remove",
      description = "Removes a key; routers refuse it within two seconds.",
      mixinStandardHelpOptions = true)
  static final class Remove implements Callable<Integer> {
    @Mixin private KeyFileOption keys = new KeyFileOption();

    @Parameters(paramLabel = "ID", description = "As 'epidote keys list' shows it.")
    private String id = "";

    @Override
    public Integer call() {
      KeyFile.remove(keys.file, id);
      return 0;
    }
  }
}
