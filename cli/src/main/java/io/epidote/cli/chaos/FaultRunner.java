package io.epidote.cli.chaos;

import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
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

  /** A node is asked to stop when the one before is back: a rolling restart. */
  private final ReentrantLock rolling = new ReentrantLock(true);

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
    try {
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
        case PARTITION, DELAY, LOSS, CORRUPT, CUT -> {
          target.network().begin(fault);
          TimeUnit.NANOSECONDS.sleep(fault.lasts().toNanos());
          target.network().end(fault);
        }
      }
    } catch (RuntimeException e) {
      record.note("failed: " + e.getMessage());
    } finally {
      record.over();
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
