package io.epidote.cli.chaos;

import io.epidote.engine.error.EpidoteException.InvalidRequest;
import java.util.Arrays;
import java.util.Locale;
import java.util.stream.Collectors;

/** What can be done to a node or to its connections. */
public enum FaultKind {
  /** SIGKILL; the node is started again. */
  KILL,
  /** SIGKILL for all nodes of a stage; one comes back, the others much later. */
  STAGE,
  /** SIGTERM; the node is started again when it has gone. */
  TERM,
  /** SIGSTOP, later SIGCONT. */
  STOP,
  /** Its disk is full: it is asked for a role that needs room, killed, and started again. */
  DISK,
  /** Its control group has less memory than it uses: the kernel kills it, until it is over. */
  MEMORY,
  /** Its process gets no more memory than it has: allocations fail. */
  RLIMIT,
  /** Nothing gets through between two members, or between one and all others. */
  PARTITION,
  /** Everything takes longer on its way. */
  DELAY,
  /** Packets are lost. */
  LOSS,
  /** Connections are reset. */
  CUT,
  /** Bits of pulled bytes are flipped. */
  CORRUPT;

  /** As in a schedule. */
  public String word() {
    return name().toLowerCase(Locale.ROOT);
  }

  /** Whether it is done to connections and needs something in between. */
  public boolean ofNetwork() {
    return compareTo(PARTITION) >= 0;
  }

  /** Whether it takes something from the machine of a node. */
  public boolean ofMachine() {
    return this == DISK || this == MEMORY || this == RLIMIT;
  }

  /** Whether it may stand between two members. */
  boolean ofPairs() {
    return this == PARTITION;
  }

  static FaultKind parse(String word) {
    return Arrays.stream(values())
        .filter(kind -> kind.word().equals(word))
        .findFirst()
        .orElseThrow(() ->
            new InvalidRequest(
                "'%s' is not a fault; expected one of %s"
                    .formatted(
                        word,
                        Arrays.stream(values())
                            .map(FaultKind::word)
                            .collect(Collectors.joining(", ")))));
  }
}
