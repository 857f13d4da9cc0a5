package io.epidote.cli.load;

/** A server that answers requests. Safe for use by many threads. */
public interface LoadTarget extends AutoCloseable {
  /** A request in the server's own form. */
  interface Prepared {
    /** Sends it and returns at once; the answer ends exactly once, whatever happens. */
    void send(Answer answer);
  }

  /** Makes a request's bytes ahead of its time, so that it leaves when it is due. */
  Prepared prepare(LoadRequest request);

  /** For messages. */
  String address();

  @Override
  void close();
}
