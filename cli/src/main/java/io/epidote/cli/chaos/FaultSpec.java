package io.epidote.cli.chaos;

import io.epidote.cli.load.TimeText;
import io.epidote.engine.error.EpidoteException.InvalidRequest;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.Optional;
import java.util.regex.Matcher;
import java.util.regex.Pattern;

/**
 * A line of a schedule as users write it: {@code kill:decode@5s/every=5s}, {@code
 * partition:router~decode-0@3s/for=10s}, {@code loss:5%}.
 *
 * @param target a node, a stage (one of its nodes), a stage with a star behind it (all of them),
 *     {@code any} (a node of each stage in turn), {@code each} (all nodes in turn), {@code all}, or
 *     two of them with {@code ~} between
 */
record FaultSpec(
    FaultKind kind,
    String target,
    Duration start,
    Optional<Duration> every,
    Optional<Duration> lasts,
    double amount) {
  private static final Pattern FORM =
      Pattern.compile("([a-z]+)(?::([^@/]+))?(?:@([^/]+))?((?:/[a-z]+=[^/]+)*)");
  private static final Pattern DELAY = Pattern.compile("[0-9.]+ *(ms|s|m|h)");
  private static final Pattern PERCENT = Pattern.compile("([0-9]+(?:\\.[0-9]+)?)%");

  private static final Duration FIRST = Duration.ofSeconds(2);
  private static final double DEFAULT_DELAY = 0.2;
  private static final double DEFAULT_LOSS = 0.05;

  /** Of chunks of at most 64 KiB. */
  private static final double DEFAULT_CORRUPTION = 0.05;

  /** Of what the node has of its own. */
  private static final double DEFAULT_MEMORY = 0.9;

  static List<FaultSpec> parseList(String text) {
    List<FaultSpec> specs = new ArrayList<>();
    if (text.isEmpty()) {
      return specs;
    }
    for (String word : text.split(",", -1)) {
      specs.add(parse(word.strip()));
    }
    return specs;
  }

  private static FaultSpec parse(String word) {
    Matcher form = FORM.matcher(word);
    if (!form.matches()) {
      throw new InvalidRequest(
          "'%s' is not a fault; expected KIND[:TARGET][@START][/every=TIME][/for=TIME][/by=AMOUNT], for example kill:decode@5s/every=5s"
              .formatted(word));
    }
    FaultKind kind = FaultKind.parse(form.group(1));
    String target = form.group(2);
    boolean lasting = kind.compareTo(FaultKind.DELAY) >= 0 && kind != FaultKind.CUT;
    Duration start =
        form.group(3) == null ? lasting ? Duration.ZERO : FIRST : TimeText.parse(form.group(3));
    Optional<Duration> every = Optional.empty();
    Optional<Duration> lasts = Optional.empty();
    double amount =
        switch (kind) {
          case DELAY -> DEFAULT_DELAY;
          case LOSS -> DEFAULT_LOSS;
          case CORRUPT -> DEFAULT_CORRUPTION;
          case MEMORY -> DEFAULT_MEMORY;
          case RLIMIT -> 1;
          default -> 0;
        };
    if (target != null && (kind == FaultKind.DELAY || kind == FaultKind.LOSS)) {
      // The amount stands for the target: all.
      if (DELAY.matcher(target).matches() || PERCENT.matcher(target).matches()) {
        amount = amount(kind, target);
        target = "all";
      }
    }
    for (String option : form.group(4).split("/", -1)) {
      if (option.isEmpty()) {
        continue;
      }
      String value = option.substring(option.indexOf('=') + 1);
      switch (option.substring(0, option.indexOf('='))) {
        case "every" -> every = Optional.of(TimeText.parse(value));
        case "for" -> lasts = Optional.of(TimeText.parse(value));
        case "by" -> amount = amount(kind, value);
        default ->
            throw new InvalidRequest(
                "'%s' in '%s' is not known; expected every=, for= or by=".formatted(option, word));
      }
    }
    if (every.isPresent() && every.get().isZero()) {
      throw new InvalidRequest("every=0 in '%s' has no end".formatted(word));
    }
    return new FaultSpec(
        kind, target == null ? lasting ? "all" : "any" : target, start, every, lasts, amount);
  }

  private static double amount(FaultKind kind, String word) {
    return switch (kind) {
      case DELAY -> TimeText.parse(word).toNanos() / 1e9;
      case LOSS, CORRUPT, MEMORY, RLIMIT -> percent(word);
      default -> throw new InvalidRequest("by=%s says nothing of %s".formatted(word, kind.word()));
    };
  }

  /** Reads {@code 5%} as 0.05. */
  static double percent(String word) {
    Matcher matcher = PERCENT.matcher(word);
    if (!matcher.matches() || Double.parseDouble(matcher.group(1)) > 100) {
      throw new InvalidRequest("'%s' is not a share; expected for example 5%%".formatted(word));
    }
    return Double.parseDouble(matcher.group(1)) / 100;
  }
}
