package io.epidote.router.request;

import io.grpc.SynchronizationContext;
import io.grpc.stub.ServerCallStreamObserver;
import io.grpc.stub.StreamObserver;
import java.util.function.Consumer;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/** Outboxes for clients of gRPC calls. */
public final class GrpcOutbox {
  private static final Logger log = LoggerFactory.getLogger(GrpcOutbox.class);

  private GrpcOutbox() {}

  /** What is put into it is done to the client when that reads, one thing at a time. */
  public static <T> Outbox<Consumer<StreamObserver<T>>> to(ServerCallStreamObserver<T> client) {
    // Stream observers are for one thread at a time.
    SynchronizationContext writer =
        new SynchronizationContext(
            (thread, error) -> log.debug("Could not write to a gRPC client", error));
    return new Outbox<>(
        writer,
        new Outbox.Sink<>() {
          @Override
          public boolean ready() {
            return client.isReady() && !client.isCancelled();
          }

          @Override
          public void write(Consumer<StreamObserver<T>> event) {
            event.accept(client);
          }
        });
  }
}
