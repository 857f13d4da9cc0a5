package io.epidote.node;

import io.epidote.engine.error.EpidoteException;
import io.epidote.proto.stage.v1.MediaCacheContent;
import io.epidote.proto.v1.NodeStatus;
import io.grpc.BindableService;
import java.util.List;
import java.util.Optional;

/**
 * One stage of a node: its gRPC services, and the steps by which it works. Everything but {@link
 * #services} runs on the engine thread.
 */
public interface Stage {
  io.epidote.proto.v1.Stage kind();

  /** The services that this stage answers. */
  List<BindableService> services();

  /**
   * Runs one step: schedule, run, postprocess. Fails only the requests in it.
   *
   * @return whether there was anything to do
   */
  boolean runStep();

  StageLoad load();

  /** Adds to the node's status what only this kind of stage has to say. */
  default void describe(NodeStatus.Builder status) {}

  /** What the stage's media-token cache holds; empty when it has none. */
  default Optional<MediaCacheContent> mediaCache() {
    return Optional.empty();
  }

  /** Which requests are to end before their time. */
  enum Scope {
    /** Those of which nothing was computed here yet: another node loses nothing by taking them. */
    WAITING,
    /** All but those whose result is complete, and has only to be pulled. */
    UNFINISHED,
    ALL
  }

  /** Ends requests with this error and frees what they hold, once their pulls have ended. */
  void end(Scope scope, EpidoteException reason);
}
