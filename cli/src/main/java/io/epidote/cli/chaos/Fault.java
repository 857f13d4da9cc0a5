package io.epidote.cli.chaos;

import java.time.Duration;
import java.util.List;
import java.util.Locale;

/**
 * One fault of a schedule.
 *
 * @param at from the start of the load
 * @param targets names of nodes, or {@code router}
 * @param peers for a partition, whom they do not reach; empty: nobody
 * @param lasts until it is undone; zero where it is not, or where it is over at once
 * @param amount of a delay: seconds; of loss and corruption: share of packets or chunks; of memory:
 *     share of what the node has
 */
public record Fault(
    Duration at,
    FaultKind kind,
    List<String> targets,
    List<String> peers,
    Duration lasts,
    double amount) {
  public Fault {
    targets = List.copyOf(targets);
    peers = List.copyOf(peers);
  }

  /** Who, in words. */
  public String who() {
    String all = targets.isEmpty() ? "all" : String.join(" ", targets);
    return peers.isEmpty() ? all : all + " and " + String.join(" ", peers);
  }

  @Override
  public String toString() {
    StringBuilder text =
        new StringBuilder(
            String.format(
                Locale.ROOT, "%7.2f s  %-9s  %s", at.toMillis() / 1e3, kind.word(), who()));
    switch (kind) {
      case DELAY -> text.append(String.format(Locale.ROOT, ", by %.0f ms", amount * 1e3));
      case LOSS, CORRUPT -> text.append(String.format(Locale.ROOT, ", %.3g %%", amount * 100));
      case MEMORY, RLIMIT ->
          text.append(String.format(Locale.ROOT, ", %.3g %% of its own", amount * 100));
      default -> {}
    }
    if (!lasts.isZero()) {
      text.append(String.format(Locale.ROOT, ", for %.3g s", lasts.toMillis() / 1e3));
    }
    return text.toString();
  }
}
