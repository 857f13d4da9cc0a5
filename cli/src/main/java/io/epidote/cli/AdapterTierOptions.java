package io.epidote.cli;

import io.epidote.cli.load.TimeText;
import io.epidote.engine.error.EpidoteException.InvalidRequest;
import io.epidote.engine.tier.AdapterTiers;
import io.epidote.engine.tier.TierBudget;
import io.epidote.engine.tier.UseProbability;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import org.jspecify.annotations.Nullable;
import picocli.CommandLine.Option;

/** How many of a node's adapters are in expert slots, and how long requests wait for the others. */
final class AdapterTierOptions {
  @Option(
      names = "--adapter-slots",
      paramLabel = "N|SIZE",
      description =
          "Expert slots that adapters share, in all layers together, or their memory, for example 512MiB: adapters beyond that wait in files until requests name them. LoRA takes no slots; SIZE bounds it, too. Default: all adapters have theirs.")
  @Nullable String slots;

  @Option(
      names = "--adapter-warm",
      paramLabel = "SIZE",
      converter = Bytes.Converter.class,
      description =
          "With --adapter-slots, memory for adapters that are read in without slots, because requests name them or because they had to give up theirs; never less than two adapters take. Default: 0B.")
  Bytes warm = new Bytes(0);

  @Option(
      names = "--adapter-wait-cap",
      paramLabel = "TIME",
      converter = TimeConverter.class,
      description =
          "With --adapter-slots, how long a request waits at most while others are gathered for its adapter, for example 500ms. Default: 2s.")
  Duration waitCap = AdapterTiers.DEFAULT_WAIT_CAP;

  @Option(
      names = "--adapter-read-rate",
      paramLabel = "SIZE",
      converter = Bytes.Converter.class,
      description =
          "With --adapter-slots, what is read of adapters in a second at most, to leave the disk to others, for example 200MiB. Default: no bound.")
  @Nullable Bytes readRate;

  TierBudget budget() {
    if (slots == null) {
      return TierBudget.ALL;
    }
    boolean experts = slots.strip().matches("\\d{1,9}");
    long value = experts ? Long.parseLong(slots.strip()) : Bytes.parse(slots).value();
    if (value < 1) {
      throw new InvalidRequest(
          "--adapter-slots %s is too little; expected at least one expert, or leave the option out"
              .formatted(slots));
    }
    return new TierBudget(
        experts ? value : Long.MAX_VALUE,
        experts ? Long.MAX_VALUE : value,
        warm.value(),
        readRate == null ? Long.MAX_VALUE : Math.max(1, readRate.value()));
  }

  void apply(AdapterTiers tiers) {
    tiers.bound(budget(), new UseProbability(waitCap));
  }

  /** The same options for another process. */
  List<String> arguments() {
    if (slots == null) {
      return List.of();
    }
    List<String> arguments =
        new ArrayList<>(
            List.of(
                "--adapter-slots",
                slots,
                "--adapter-warm",
                warm.value() + "B",
                "--adapter-wait-cap",
                TimeText.of(waitCap)));
    if (readRate != null) {
      arguments.addAll(List.of("--adapter-read-rate", readRate.value() + "B"));
    }
    return arguments;
  }
}
