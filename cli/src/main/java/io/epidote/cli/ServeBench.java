package io.epidote.cli;

import io.epidote.engine.error.EpidoteException.Unavailable;
import java.net.URI;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.atomic.AtomicInteger;

/** A closed loop of clients: each sends its next request when its last answer is whole. */
final class ServeBench implements AutoCloseable {
  private final ServeRequests requests;
  private final AnswerStream stream;
  private final int clients;

  /**
   * @param base http://host:port, with or without /v1
   */
  ServeBench(String base, ServeRequests requests, int clients) {
    this.requests = requests;
    this.clients = clients;
    String root = base.replaceFirst("/+$", "").replaceFirst("/v1$", "");
    this.stream = new AnswerStream(URI.create(root + requests.api().path()));
  }

  /** Sends that many requests in all and returns when every one has ended. */
  ServeFigures run(int count) {
    ServeFigures figures = new ServeFigures();
    AtomicInteger left = new AtomicInteger(count);
    try (ExecutorService threads = Executors.newVirtualThreadPerTaskExecutor()) {
      for (int client = 0; client < clients; client++) {
        var _ =
            threads.submit(() -> {
              while (left.getAndDecrement() > 0) {
                ask(figures);
              }
              return null;
            });
      }
    }
    return figures;
  }

  private void ask(ServeFigures figures) throws InterruptedException {
    try {
      figures.add(stream.ask(requests.next()));
    } catch (Unavailable e) {
      figures.addError();
      System.err.println("epidote: " + e.getMessage());
    }
  }

  @Override
  public void close() {
    stream.close();
  }
}
