package io.epidote.node;

import io.epidote.proto.v1.Stage;
import java.nio.file.Path;
import java.util.Map;
import java.util.Set;

/**
 * Makes the roles that a node can have. Called by one thread at a time, beside the engine thread.
 */
public interface RoleFactory {
  /**
   * Loads the models of these stages and makes their pools; may take long. The caller owns the
   * role; nothing is left of it when this fails.
   *
   * @param node to make the stages with
   * @param stages that the node will have, by which pools have their sizes
   * @param made of these, what is to be made
   * @param adapters folders of those that a decoder has, by name
   * @throws io.epidote.engine.error.EpidoteException when the stages cannot be had
   */
  Role make(NodeContext node, Set<Stage> stages, Set<Stage> made, Map<String, Path> adapters);

  /**
   * Bytes of memory that a role of these stages takes at the most: weights and pools.
   *
   * @throws io.epidote.engine.error.EpidoteException when the stages cannot be had
   */
  long bytes(Set<Stage> stages);
}
