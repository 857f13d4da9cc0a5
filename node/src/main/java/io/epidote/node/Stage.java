package io.epidote.node;

import io.epidote.engine.error.EpidoteException;
import io.grpc.BindableService;
import java.util.List;

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

  /** Ends every request with this error and frees what it holds, once its pulls have ended. */
  void abortAll(EpidoteException reason);
}
