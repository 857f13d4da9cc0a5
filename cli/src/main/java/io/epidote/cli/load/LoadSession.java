package io.epidote.cli.load;

import java.util.List;
import java.util.OptionalDouble;
import org.jspecify.annotations.Nullable;

/**
 * A whole measurement: one or more levels on one server, and what the server and this machine
 * looked like meanwhile.
 */
public final class LoadSession {
  private final List<LoadLevel> levels;
  private final int chosen;
  private final List<ServerWatch.Sample> samples;
  private final OptionalDouble computeUse;
  private final OptionalDouble watts;
  private final OptionalDouble compressionRate;
  private final @Nullable Double goodput;

  private LoadSession(
      List<LoadLevel> levels,
      int chosen,
      List<ServerWatch.Sample> samples,
      OptionalDouble computeUse,
      OptionalDouble watts,
      OptionalDouble compressionRate,
      @Nullable Double goodput) {
    this.levels = levels;
    this.chosen = chosen;
    this.samples = samples;
    this.computeUse = computeUse;
    this.watts = watts;
    this.compressionRate = compressionRate;
    this.goodput = goodput;
  }

  /** Measures levels. */
  public interface Measurement {
    Levels run() throws InterruptedException;
  }

  /**
   * What was measured.
   *
   * @param goodput requests a second, or null when it was not looked for
   */
  public record Levels(List<LoadLevel> levels, @Nullable Double goodput) {}

  /**
   * Runs a measurement with an eye on server and machine.
   *
   * @param compressionRate as told; empty to take 1 where all weights are fp32
   */
  public static LoadSession of(
      LoadServer server, OptionalDouble compressionRate, Measurement measurement)
      throws InterruptedException {
    MachineWatch machine = new MachineWatch();
    try (ServerWatch watch = server.watch()) {
      Levels measured = measurement.run();
      List<ServerWatch.Sample> samples = watch.samples();
      boolean lossless =
          !samples.isEmpty() && samples.stream().allMatch(ServerWatch.Sample::lossless);
      return new LoadSession(
          measured.levels(),
          choose(measured),
          samples,
          server.local() ? machine.computeUse() : OptionalDouble.empty(),
          server.local() ? machine.watts() : OptionalDouble.empty(),
          compressionRate.isEmpty() && lossless ? OptionalDouble.of(1) : compressionRate,
          measured.goodput());
    }
  }

  /** The level at the goodput that was found, or else the last one. */
  private static int choose(Levels measured) {
    Double goodput = measured.goodput();
    for (int i = 0; goodput != null && i < measured.levels().size(); i++) {
      if (measured.levels().get(i).rate() == goodput) {
        return i;
      }
    }
    return measured.levels().size() - 1;
  }

  public List<LoadLevel> levels() {
    return levels;
  }

  /** The level that figures are told of. */
  public LoadLevel chosen() {
    return levels.get(chosen);
  }

  public int chosenIndex() {
    return chosen;
  }

  public List<ServerWatch.Sample> samples() {
    return samples;
  }

  /** Highest rate with enough attainment, or null when it was not looked for. */
  public @Nullable Double goodput() {
    return goodput;
  }

  /** Mean resident memory of all nodes, MiB. */
  public OptionalDouble memoryMib() {
    OptionalDouble bytes =
        samples.stream()
            .mapToLong(ServerWatch.Sample::residentBytes)
            .filter(resident -> resident > 0)
            .average();
    return bytes.isEmpty() ? bytes : OptionalDouble.of(bytes.getAsDouble() / (1 << 20));
  }

  public OptionalDouble computeUse() {
    return computeUse;
  }

  public OptionalDouble watts() {
    return watts;
  }

  public OptionalDouble compressionRate() {
    return compressionRate;
  }
}
