package io.epidote.cli.chaos;

import java.util.List;
import java.util.concurrent.CopyOnWriteArrayList;

/**
 * What befalls bytes between two members now. Whoever carries them asks for every piece. Members
 * are named; an unknown one is an empty name, which only faults of all hit.
 */
final class LinkRules {
  private final List<Fault> faults = new CopyOnWriteArrayList<>();

  void begin(Fault fault) {
    faults.add(fault);
    synchronized (this) {
      notifyAll();
    }
  }

  void end(Fault fault) {
    faults.remove(fault);
    synchronized (this) {
      notifyAll();
    }
  }

  boolean isOpen(String a, String b) {
    for (Fault fault : faults) {
      if (fault.kind() == FaultKind.PARTITION && (between(fault, a, b) || between(fault, b, a))) {
        return false;
      }
    }
    return true;
  }

  private static boolean between(Fault fault, String a, String b) {
    return (fault.targets().isEmpty() || fault.targets().contains(a))
        && (fault.peers().isEmpty() || fault.peers().contains(b));
  }

  /** Returns when bytes get through between them. */
  void awaitOpen(String a, String b) throws InterruptedException {
    if (isOpen(a, b)) {
      return;
    }
    synchronized (this) {
      while (!isOpen(a, b)) {
        wait();
      }
    }
  }

  /** What a piece takes longer, nanoseconds. */
  long delayNanos(String a, String b) {
    return Math.round(amount(FaultKind.DELAY, a, b) * 1e9);
  }

  /** Share of pieces that are lost. */
  double loss(String a, String b) {
    return amount(FaultKind.LOSS, a, b);
  }

  /** Share of pieces that a member sends of which a bit is flipped. */
  double corruption(String sender) {
    return amount(FaultKind.CORRUPT, sender, sender);
  }

  private double amount(FaultKind kind, String a, String b) {
    double most = 0;
    for (Fault fault : faults) {
      if (fault.kind() == kind
          && (fault.targets().isEmpty()
              || fault.targets().contains(a)
              || fault.targets().contains(b))) {
        most = Math.max(most, fault.amount());
      }
    }
    return most;
  }
}
