package io.epidote.cli;

import static java.util.Objects.requireNonNull;

import io.epidote.engine.error.EpidoteException;
import io.epidote.node.BuildInfo;
import java.io.PrintWriter;
import java.util.Arrays;
import java.util.Comparator;
import java.util.List;
import org.jspecify.annotations.Nullable;
import picocli.CommandLine;
import picocli.CommandLine.Command;
import picocli.CommandLine.IVersionProvider;
import picocli.CommandLine.Model.CommandSpec;
import picocli.CommandLine.ParameterException;
import picocli.CommandLine.Spec;

/** The {@code epidote} command. */
@Command(
    name = "epidote",
    description =
        "Serves large multimodal models with encode, prefill and decode on separate processes.",
    mixinStandardHelpOptions = true,
    versionProvider = EpidoteCommand.Version.class,
    synopsisSubcommandLabel = "COMMAND",
    footerHeading = "%nExamples:%n",
    footer = {
      "  epidote demo                                   see it work, in four processes",
      "  epidote up --processes                         serve the model that ships",
      "  epidote ask --image cat.png \"what is this?\"    ask a running router",
      "  epidote status                                 nodes, blocks and leases",
      "  epidote top                                    the same, live, with requests and latencies",
      "  epidote eval scenes --count 500 --seed 7       measure how often answers are right",
      "  epidote bench engine --model smollm2-135m      measure a model's speed on this machine",
      "  epidote model inspect ~/models/mine            what a model is, needs, and whether it fits"
    })
public final class EpidoteCommand implements Runnable {
  private static final List<Class<?>> COMMANDS =
      List.of(
          DemoCommand.class,
          UpCommand.class,
          AskCommand.class,
          StatusCommand.class,
          TopCommand.class,
          AdapterCommand.class,
          RolesCommand.class,
          KeysCommand.class,
          EvalCommand.class,
          BenchCommand.class,
          ChaosCommand.class,
          PlanCommand.class,
          ProfileCommand.class,
          ModelCommand.class,
          RouterCommand.class,
          NodeCommand.class,
          WarmUpCommand.class);

  @Spec private @Nullable CommandSpec spec;

  static final class Version implements IVersionProvider {
    @Override
    public String[] getVersion() {
      return new String[] {"epidote " + BuildInfo.VERSION};
    }
  }

  public static void main(String[] arguments) {
    System.exit(commandLine(arguments).execute(arguments));
  }

  /**
   * The command line for these arguments: all commands, or the one that the first argument names,
   * because building all takes a quarter of a second of a node's start.
   */
  static CommandLine commandLine(String... arguments) {
    List<Class<?>> named =
        COMMANDS.stream()
            .filter(command ->
                arguments.length > 0
                    && command.getAnnotation(Command.class).name().equals(arguments[0]))
            .toList();
    CommandLine line = new CommandLine(new EpidoteCommand());
    (named.isEmpty() ? COMMANDS : named).forEach(line::addSubcommand);
    return line.setCaseInsensitiveEnumValuesAllowed(true)
        .setUsageHelpAutoWidth(true)
        .setParameterExceptionHandler(EpidoteCommand::explainUsage)
        .setExecutionExceptionHandler((e, command, result) -> explain(e, command.getErr()));
  }

  @Override
  public void run() {
    throw new ParameterException(requireNonNull(spec).commandLine(), "Name a command");
  }

  /** An error of Epidote's own is a message; anything else is a defect and shows where it is. */
  private static int explain(Exception e, PrintWriter err) {
    if (e instanceof EpidoteException) {
      err.println("epidote: " + e.getMessage());
    } else {
      err.println("epidote: a defect: " + e + "; please report it with the lines below");
      e.printStackTrace(err);
    }
    return CommandLine.ExitCode.SOFTWARE;
  }

  private static int explainUsage(ParameterException e, String[] arguments) {
    CommandLine command = e.getCommandLine();
    // picocli wraps what a converter throws; the converter's message is the one for people.
    String message =
        e.getCause() instanceof EpidoteException cause ? cause.getMessage() : e.getMessage();
    command.getErr().println("epidote: " + message);
    if (e instanceof CommandLine.UnmatchedArgumentException unmatched
        && unmatched.getUnmatched().getFirst().startsWith("--")) {
      command.getErr().println("Did you mean " + nearestOption(command, unmatched) + "?");
    } else if (!CommandLine.UnmatchedArgumentException.printSuggestions(e, command.getErr())) {
      command
          .getErr()
          .println(
              "Try '" + command.getCommandSpec().qualifiedName() + " --help' for what it takes.");
    }
    return CommandLine.ExitCode.USAGE;
  }

  private static String nearestOption(
      CommandLine command, CommandLine.UnmatchedArgumentException unmatched) {
    String typed = unmatched.getUnmatched().getFirst();
    return command.getCommandSpec().optionsMap().keySet().stream()
        .min(Comparator.comparingInt(option -> differingLetters(option, typed)))
        .orElse("--help");
  }

  /** Letters that only one of the words has: enough to find a slip of the fingers. */
  private static int differingLetters(String a, String b) {
    int[] counts = new int[128];
    a.chars().forEach(letter -> counts[letter % 128]++);
    b.chars().forEach(letter -> counts[letter % 128]--);
    return Arrays.stream(counts).map(Math::abs).sum();
  }
}
