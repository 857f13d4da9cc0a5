package io.epidote.cli.chaos;

import io.epidote.engine.error.EpidoteException.Unavailable;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.locks.ReentrantLock;
import java.util.function.IntSupplier;

/** Does the faults of a schedule to a cluster, each at its time, and undoes those that last. */
final class FaultRunner {
  /** How long a process that was asked to stop may take. */
  private static final Duration STOP = Duration.ofSeconds(30);

  /**
   * After a stage was lost, its first node is back after the usual time, the others so many times
   * later.
   */
  private static final int OTHERS_LATER = 8;

  /** For the nodes of a stage to be back from other faults. */
  private static final Duration PATIENCE = Duration.ofMinutes(1);

  private static final Duration LOOK = Duration.ofMillis(100);

  /** A node is asked to stop when the one before is back: a rolling restart. */
  private final ReentrantLock rolling = new ReentrantLock(true);

  /** Nodes to whose processes something is being done: one thing at a time. */
  private final Set<String> hit = ConcurrentHashMap.newKeySet();

  private final FaultTarget target;
  private final Duration restartAfter;
  private final IntSupplier atWork;
  private final List<FaultRecord> records = new ArrayList<>();
  private final List<Thread> threads = new ArrayList<>();

  /**
   * @param restartAfter from a process's end to its start
   * @param atWork how many requests are
   */
  FaultRunner(FaultTarget target, Duration restartAfter, IntSupplier atWork) {
    this.target = target;
    this.restartAfter = restartAfter;
    this.atWork = atWork;
  }

  /** Begins; returns at once. */
  void start(List<Fault> faults, long startNanos) {
    for (Fault fault : faults) {
      threads.add(
          Thread.ofPlatform()
              .daemon()
              .name("fault")
              .start(() -> {
                try {
                  sleepUntil(startNanos + fault.at().toNanos());
                  if (fault.kind() == FaultKind.TERM) {
                    rolling.lockInterruptibly();
                    try {
                      run(fault, startNanos);
                    } finally {
                      rolling.unlock();
                    }
                  } else {
                    run(fault, startNanos);
                  }
                } catch (InterruptedException e) {
                  Thread.currentThread().interrupt();
                }
              }));
    }
  }

  private static void sleepUntil(long at) throws InterruptedException {
    long left = at - System.nanoTime();
    if (left > 0) {
      TimeUnit.NANOSECONDS.sleep(left);
    }
  }

  private void run(Fault fault, long startNanos) throws InterruptedException {
    boolean processes = !fault.kind().ofNetwork();
    FaultRecord record = new FaultRecord(fault, System.nanoTime(), startNanos, atWork.getAsInt());
    synchronized (records) {
      records.add(record);
    }
    if (processes && fault.targets().stream().noneMatch(target::isUp)) {
      record.note("not done: " + fault.who() + " was down already");
      record.over();
      return;
    }
    List<String> claimed = processes ? claim(fault) : List.of();
    try {
      if (processes && claimed.size() < fault.targets().size()) {
        record.note("not done: another fault is being done to " + fault.who());
        return;
      }
      switch (fault.kind()) {
        case KILL -> {
          for (String node : fault.targets()) {
            target.kill(node);
          }
          bringBack(fault.targets(), restartAfter);
        }
        case STAGE -> {
          for (String node : fault.targets()) {
            target.kill(node);
          }
          bringBack(fault.targets().subList(0, 1), restartAfter);
          bringBack(
              fault.targets().subList(1, fault.targets().size()),
              restartAfter.multipliedBy(OTHERS_LATER - 1));
        }
        case TERM -> {
          for (String node : fault.targets()) {
            long asked = System.nanoTime();
            target.terminate(node, STOP);
            record.note(
                "%s was gone after %.2f s".formatted(node, (System.nanoTime() - asked) / 1e9));
          }
          bringBack(fault.targets(), restartAfter);
        }
        case STOP -> {
          for (String node : fault.targets()) {
            target.pause(node);
          }
          TimeUnit.NANOSECONDS.sleep(fault.lasts().toNanos());
          for (String node : fault.targets()) {
            target.resume(node);
          }
        }
        case DISK, MEMORY, RLIMIT -> runShort(fault, record);
        case PARTITION, DELAY, LOSS, CORRUPT, CUT -> {
          target.network().begin(fault);
          TimeUnit.NANOSECONDS.sleep(fault.lasts().toNanos());
          target.network().end(fault);
        }
      }
    } catch (RuntimeException e) {
      String before = record.note().isEmpty() ? "" : record.note() + "; ";
      record.note(before + "failed: " + e.getMessage());
    } finally {
      claimed.forEach(hit::remove);
      record.over();
    }
  }

  /** Those of its nodes that no other fault is done to; a whole stage is waited for. */
  private List<String> claim(Fault fault) throws InterruptedException {
    long until = System.nanoTime() + (fault.kind() == FaultKind.STAGE ? PATIENCE.toNanos() : 0);
    while (true) {
      List<String> claimed = fault.targets().stream().filter(hit::add).toList();
      if (claimed.size() == fault.targets().size() || System.nanoTime() >= until) {
        return claimed;
      }
      claimed.forEach(hit::remove);
      TimeUnit.NANOSECONDS.sleep(LOOK.toNanos());
    }
  }

  /** Something of its machine is taken from each node; whoever ends is started again and again. */
  private void runShort(Fault fault, FaultRecord record) throws InterruptedException {
    List<String> words = new ArrayList<>();
    Map<String, Long> processes = target.processes();
    Thread giver =
        Thread.ofPlatform().daemon().name("fault-over").start(() -> giveBack(fault, processes));
    try {
      for (String node : fault.targets()) {
        words.add(
            node + " has " + target.machine(node).take(fault, processes.getOrDefault(node, 0L)));
      }
      for (String node : fault.targets()) {
        if (!target.machine(node).isTakenInFull()) {
          target.kill(node);
          words.add(node + " was killed, as the kernel takes no limit below what is in use");
        }
      }
      if (fault.kind() == FaultKind.DISK) {
        for (String node : fault.targets()) {
          words.add(target.tryOtherRole(node));
          target.kill(node);
        }
      }
      while (giver.isAlive()) {
        for (String node : fault.targets()) {
          if (!target.isUp(node)) {
            words.add(startedAgain(node));
          }
        }
        giver.join(LOOK);
      }
    } catch (InterruptedException e) {
      giver.interrupt();
      throw e;
    } finally {
      record.note(String.join("; ", words));
    }
    bringBack(fault.targets(), Duration.ZERO);
  }

  private void giveBack(Fault fault, Map<String, Long> processes) {
    try {
      TimeUnit.NANOSECONDS.sleep(fault.lasts().toNanos());
    } catch (InterruptedException e) {
      // What was taken is given back at once.
    }
    for (String node : fault.targets()) {
      target.machine(node).give(fault, processes.getOrDefault(node, 0L));
    }
  }

  /** What came of it, in words. */
  private String startedAgain(String node) throws InterruptedException {
    String ended = "it ended with status %d and ".formatted(target.exitStatus(node));
    TimeUnit.NANOSECONDS.sleep(restartAfter.toNanos());
    target.machine(node).takeAgain();
    try {
      target.start(node);
      return ended + "was started again";
    } catch (Unavailable e) {
      target.kill(node);
      String said = e.getMessage() == null ? "" : e.getMessage().strip();
      return ended
          + "could not be started (%s)".formatted(said.substring(said.lastIndexOf('\n') + 1));
    }
  }

  private void bringBack(List<String> nodes, Duration after) throws InterruptedException {
    TimeUnit.NANOSECONDS.sleep(after.toNanos());
    for (String node : nodes) {
      if (!target.isUp(node)) {
        target.start(node);
      }
    }
  }

  /** Returns when all faults are undone. */
  void await() throws InterruptedException {
    for (Thread thread : threads) {
      thread.join();
    }
  }

  /** Undoes at once what lasts, where the measurement itself was broken off. */
  void stop() {
    threads.forEach(Thread::interrupt);
  }

  List<FaultRecord> records() {
    synchronized (records) {
      return List.copyOf(records);
    }
  }
}
