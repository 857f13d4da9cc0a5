package io.epidote.cli.load;

import io.epidote.engine.error.EpidoteException.InvalidRequest;
import io.epidote.proto.v1.GetModelRequest;
import io.epidote.proto.v1.InferenceGrpc;
import io.grpc.ManagedChannel;
import io.grpc.StatusRuntimeException;
import java.net.URI;
import java.time.Duration;
import java.util.Locale;
import java.util.Optional;
import java.util.concurrent.TimeUnit;

/** The server under load: how to reach it and what it is. */
public final class LoadServer implements AutoCloseable {
  /**
   * How to reach a server.
   *
   * @param url of its HTTP
   * @param api chat or completions
   * @param grpc whether requests go over gRPC
   * @param router host:port of a router's gRPC port; empty to look beside the URL
   * @param model to name; empty for the first that is served
   * @param access certificates and key
   * @param timeline whether to ask for timelines, where they are known
   * @param timeout how long nothing may come
   */
  public record Address(
      String url,
      String api,
      boolean grpc,
      Optional<String> router,
      Optional<String> model,
      Access access,
      boolean timeline,
      Duration timeout) {}

  private final LoadTarget target;
  private final URI root;
  private final String model;
  private final Optional<String> router;
  private final Access access;

  private LoadServer(
      LoadTarget target, URI root, String model, Optional<String> router, Access access) {
    this.target = target;
    this.root = root;
    this.model = model;
    this.router = router;
    this.access = access;
  }

  /**
   * Looks whether it is there.
   *
   * @throws io.epidote.engine.error.EpidoteException.Unavailable when it is not
   */
  public static LoadServer open(Address address) throws InterruptedException {
    OpenAiBody.Api api;
    try {
      api = OpenAiBody.Api.valueOf(address.api().toUpperCase(Locale.ROOT));
    } catch (IllegalArgumentException e) {
      throw new InvalidRequest(
          "--api is \"%s\"; expected chat or completions".formatted(address.api()), e);
    }
    URI root = OpenAiTarget.root(address.url());
    ServerProbe probe = ServerProbe.of(root, address.access());
    String model = address.model().orElse(probe.model());
    Optional<String> router =
        address
            .router()
            .or(() -> probe.epidote() ? beside(root, address.access()) : Optional.empty());
    if (!address.grpc()) {
      return new LoadServer(
          new OpenAiTarget(
              address.url(),
              new OpenAiBody(api, model, probe.epidote() && address.timeline()),
              address.access(),
              address.timeout()),
          root,
          model,
          router,
          address.access());
    }
    String rpc =
        router.orElseThrow(() ->
            new InvalidRequest(
                "No router's gRPC port is known beside %s; name it with --router HOST:PORT"
                    .formatted(root)));
    return new LoadServer(
        new GrpcTarget(rpc, address.model().orElse(""), address.access(), address.timeout()),
        root,
        model,
        router,
        address.access());
  }

  /** A router's gRPC port is the one after its HTTP port, unless it was told another. */
  private static Optional<String> beside(URI root, Access access) {
    String address = root.getHost() + ":" + (root.getPort() + 1);
    ManagedChannel channel = access.channel(address).build();
    try {
      var unused =
          InferenceGrpc.newBlockingStub(channel)
              .withDeadlineAfter(10, TimeUnit.SECONDS)
              .getModel(GetModelRequest.getDefaultInstance());
      return Optional.of(address);
    } catch (StatusRuntimeException e) {
      return Optional.empty();
    } finally {
      channel.shutdownNow();
    }
  }

  public LoadTarget target() {
    return target;
  }

  /** As it names itself; empty where it does not. */
  public String model() {
    return model;
  }

  /** Whether it runs on this machine, as far as its address tells. */
  public boolean local() {
    return String.valueOf(root.getHost()).matches("localhost|127\\..*|\\[?::1]?");
  }

  /** Begins to look at it while it works. */
  public ServerWatch watch() {
    return new ServerWatch(router, root, access).start();
  }

  @Override
  public void close() {
    target.close();
  }
}
