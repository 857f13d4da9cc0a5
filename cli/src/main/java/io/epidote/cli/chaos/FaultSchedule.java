package io.epidote.cli.chaos;

import io.epidote.engine.error.EpidoteException.InvalidRequest;
import java.time.Duration;
import java.util.ArrayList;
import java.util.Comparator;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.SplittableRandom;
import java.util.stream.Collectors;

/** Which faults come when, and to whom: the same for the same words, cluster, length and seed. */
public final class FaultSchedule {
  /** The router, in targets. */
  public static final String ROUTER = "router";

  private static final Duration SHORT = Duration.ofSeconds(5);

  /** Schedules by name. */
  private static final Map<String, String> NAMED = new LinkedHashMap<>();

  static {
    NAMED.put("none", "");
    NAMED.put("kills", "kill:any@2s/every=5s");
    NAMED.put("stages", "stage:any@2s/every=12s");
    NAMED.put("rolling", "term:each@2s/every=6s");
    NAMED.put("pauses", "stop:any@2s/every=8s/for=5s");
    NAMED.put(
        "partitions",
        "partition:router~decode@2s/every=21s/for=5s,partition:decode~prefill@9s/every=21s/for=5s,partition:prefill~encode@16s/every=21s/for=5s");
    NAMED.put("corruption", "corrupt:encode*@0s,corrupt:prefill*@0s");
    NAMED.put(
        "mixed",
        "kill:any@2s/every=12s,stop:any@5s/every=24s/for=3s,partition:any@11s/every=24s/for=3s,cut:any@17s/every=24s,term:any@20s/every=24s,disk:any@8s/every=48s,memory:any@32s/every=48s,corrupt:prefill*@0s/by=1%");
  }

  private final Map<String, List<String>> stagesOf;
  private final SplittableRandom random;
  private final Map<String, Integer> turns = new LinkedHashMap<>();

  private FaultSchedule(Map<String, List<String>> stagesOf, long seed) {
    this.stagesOf = stagesOf;
    this.random = new SplittableRandom(seed);
  }

  /** Reads {@code 5%} as 0.05. */
  public static double share(String word) {
    return FaultSpec.percent(word);
  }

  /** Names of schedules. */
  public static List<String> names() {
    return List.copyOf(NAMED.keySet());
  }

  /**
   * A schedule's faults by their time.
   *
   * @param words faults as users write them, or the name of a schedule
   * @param stagesOf of each node its stages: encode, prefill, decode
   * @param length of the load; faults begin before its end
   */
  public static List<Fault> plan(
      String words, Map<String, List<String>> stagesOf, Duration length, long seed) {
    FaultSchedule schedule = new FaultSchedule(stagesOf, seed);
    List<Fault> faults = new ArrayList<>();
    for (FaultSpec spec : FaultSpec.parseList(NAMED.getOrDefault(words, words))) {
      for (Duration at = spec.start();
          at.compareTo(length) < 0;
          at = at.plus(spec.every().orElse(length))) {
        faults.add(schedule.fault(spec, at, length));
      }
    }
    faults.sort(Comparator.comparing(Fault::at));
    return faults;
  }

  private Fault fault(FaultSpec spec, Duration at, Duration length) {
    FaultKind kind = spec.kind();
    Duration lasts =
        switch (kind) {
          case STOP, DISK, MEMORY, RLIMIT, PARTITION -> spec.lasts().orElse(SHORT);
          case DELAY, LOSS, CORRUPT -> spec.lasts().orElse(length.minus(at));
          case KILL, STAGE, TERM, CUT -> Duration.ZERO;
        };
    String[] pair = spec.target().split("~", -1);
    if (pair.length > 2 || pair.length == 2 && !kind.ofPairs()) {
      throw new InvalidRequest(
          "%s does not work on '%s'; two members with ~ between are for a partition"
              .formatted(kind.word(), spec.target()));
    }
    List<String> targets =
        kind == FaultKind.STAGE ? wholeStage(pair[0]) : members(pair[0], kind.ofPairs());
    List<String> peers = pair.length == 2 ? members(pair[1], true) : List.of();
    return new Fault(at, kind, targets, peers, lasts, spec.amount());
  }

  private List<String> wholeStage(String word) {
    List<String> stages = stages();
    String stage = word.equals("any") ? stages.get(turn("stage", stages.size())) : word;
    return nodesOf(stage.replace("*", ""));
  }

  private List<String> members(String word, boolean orRouter) {
    List<String> nodes = List.copyOf(stagesOf.keySet());
    if (stagesOf.containsKey(word) || word.equals(ROUTER) && orRouter) {
      return List.of(word);
    }
    return switch (word) {
      case "all" -> List.of();
      case "each" -> List.of(nodes.get(turn("each", nodes.size())));
      case "any" -> {
        List<String> stages = stages();
        yield List.of(oneOf(stages.get(turn("any", stages.size()))));
      }
      default ->
          word.endsWith("*") ? nodesOf(word.substring(0, word.length() - 1)) : List.of(oneOf(word));
    };
  }

  /** Nodes of a stage take turns, so that the one before is back. */
  private String oneOf(String stage) {
    List<String> nodes = nodesOf(stage);
    return nodes.get(turn(stage, nodes.size()));
  }

  private int turn(String of, int count) {
    int next = turns.computeIfAbsent(of, _ -> random.nextInt(count));
    turns.put(of, next + 1);
    return next % count;
  }

  private List<String> stages() {
    return stagesOf.values().stream().flatMap(List::stream).distinct().toList();
  }

  private List<String> nodesOf(String stage) {
    List<String> nodes =
        stagesOf.entrySet().stream()
            .filter(node -> node.getValue().contains(stage))
            .map(Map.Entry::getKey)
            .toList();
    if (nodes.isEmpty()) {
      throw new InvalidRequest(
          "'%s' is not here; expected a node (%s), a stage (%s), any, each or all"
              .formatted(
                  stage,
                  String.join(", ", stagesOf.keySet()),
                  stages().stream().collect(Collectors.joining(", "))));
    }
    return nodes;
  }
}
