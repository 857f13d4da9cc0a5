package io.epidote.cli;

import static org.assertj.core.api.Assertions.assertThat;

import java.io.ByteArrayOutputStream;
import java.io.PrintStream;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.List;

/** What {@code epidote bench} prints on standard output. */
final class BenchOutput {
  private BenchOutput() {}

  /**
   * Runs it in this process.
   *
   * @param exit the status that is expected
   */
  static String of(int exit, String... arguments) {
    List<String> command = new ArrayList<>(List.of("bench"));
    command.addAll(List.of(arguments));
    PrintStream out = System.out;
    ByteArrayOutputStream printed = new ByteArrayOutputStream();
    System.setOut(new PrintStream(printed, true, StandardCharsets.UTF_8));
    try {
      assertThat(EpidoteCommand.commandLine("bench").execute(command.toArray(String[]::new)))
          .isEqualTo(exit);
    } finally {
      System.setOut(out);
    }
    return printed.toString(StandardCharsets.UTF_8);
  }
}
