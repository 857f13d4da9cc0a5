package io.epidote.cli.load;

/** Requests to send, made as they are needed. Used by one thread. */
public interface Workload {
  /** For reports. */
  String name();

  /**
   * The next request.
   *
   * @param index from 0, of those of this run
   * @param count requests of this run
   */
  LoadRequest next(int index, int count);

  /** Requests at the most, or 0 for as many as are asked for. */
  default int size() {
    return 0;
  }
}
