//! Who answers whom: nodes for Message-IDs, with or without a message, and one parent for each, as
//! Dovecot's index-thread-links.c chooses it.
//!
//! Whether a new link would close a loop is asked of a link-cut tree (Sleator and Tarjan), since
//! walking up from each message of a long chain would take time with its square.

/// The nodes.
pub(super) struct Links {
    nodes: Vec<Node>,
    trees: Trees,
}

#[derive(Clone, Copy, Default)]
struct Node {
    message: Option<u32>,
    parent: Option<u32>,
}

impl Links {
    pub(super) fn with_capacity(nodes: usize) -> Self {
        Self { nodes: Vec::with_capacity(nodes), trees: Trees { splay: Vec::with_capacity(nodes) } }
    }

    /// A new node without message and parent.
    pub(super) fn add(&mut self) -> u32 {
        let node = self.nodes.len() as u32;
        self.nodes.push(Node::default());
        self.trees.splay.push(Splay::default());
        node
    }

    pub(super) fn len(&self) -> u32 {
        self.nodes.len() as u32
    }

    /// The message of a node.
    pub(super) fn message(&self, node: u32) -> Option<u32> {
        self.nodes.get(node as usize).and_then(|node| node.message)
    }

    /// The parent of a node.
    pub(super) fn parent(&self, node: u32) -> Option<u32> {
        self.nodes.get(node as usize).and_then(|node| node.parent)
    }

    /// Puts a message to the node of its Message-ID, below the last of `references`, of which each is
    /// below the one before.
    pub(super) fn add_message(&mut self, node: u32, message: u32, references: &[u32]) {
        // A second message of the same Message-ID gets a node that no other refers to.
        let node = if self.message(node).is_some() { self.add() } else { node };
        if let Some(node) = self.nodes.get_mut(node as usize) {
            node.message = Some(message);
        }
        for pair in references.windows(2) {
            if let [parent, child] = *pair {
                self.link(parent, child);
            }
        }
        let parent = references.last().copied();
        // What the message itself says outweighs what others said of it.
        if self.parent(node).is_some() && self.parent(node) != parent {
            self.set_parent(node, None);
            self.trees.cut(node);
        }
        if let Some(parent) = parent {
            self.link(parent, node);
        }
    }

    /// Makes `parent` the parent of `child`, unless it has one or that would be a loop.
    fn link(&mut self, parent: u32, child: u32) {
        if self.parent(child).is_none() && parent != child && self.trees.root(parent) != child {
            self.set_parent(child, Some(parent));
            self.trees.link(child, parent);
        }
    }

    fn set_parent(&mut self, child: u32, parent: Option<u32>) {
        if let Some(node) = self.nodes.get_mut(child as usize) {
            node.parent = parent;
        }
    }
}

/// A link-cut tree: each path of the forest is a splay tree, ordered by depth.
struct Trees {
    splay: Vec<Splay>,
}

const NONE: u32 = u32::MAX;

#[derive(Clone, Copy)]
struct Splay {
    /// In the splay tree, or, for the root of one, the path it hangs from.
    up: u32,
    children: [u32; 2],
}

impl Default for Splay {
    fn default() -> Self {
        Self { up: NONE, children: [NONE; 2] }
    }
}

impl Trees {
    /// The root of the tree that `node` is in.
    fn root(&mut self, node: u32) -> u32 {
        self.access(node);
        let mut root = node;
        loop {
            match self.child(root, 0) {
                NONE => break,
                above => root = above,
            }
        }
        self.splay(root);
        root
    }

    /// Hangs the root `child` below `parent`.
    fn link(&mut self, child: u32, parent: u32) {
        self.access(child);
        self.set_up(child, parent);
    }

    /// Makes `node` a root.
    fn cut(&mut self, node: u32) {
        self.access(node);
        let above = self.child(node, 0);
        self.set_up(above, NONE);
        self.set_child(node, 0, NONE);
    }

    /// Makes the way from the root to `node` one path, with `node` at its splay tree's root.
    fn access(&mut self, node: u32) {
        let mut below = NONE;
        let mut at = node;
        while at != NONE {
            self.splay(at);
            self.set_child(at, 1, below);
            below = at;
            at = self.up(at);
        }
        self.splay(node);
    }

    fn splay(&mut self, node: u32) {
        while !self.is_splay_root(node) {
            let up = self.up(node);
            if !self.is_splay_root(up) {
                let same = self.side(node) == self.side(up);
                self.rotate(if same { up } else { node });
            }
            self.rotate(node);
        }
    }

    fn rotate(&mut self, node: u32) {
        let up = self.up(node);
        let above = self.up(up);
        let side = self.side(node);
        if !self.is_splay_root(up) {
            self.set_child(above, self.side(up), node);
        }
        let inner = self.child(node, 1 - side);
        self.set_child(up, side, inner);
        self.set_up(inner, up);
        self.set_child(node, 1 - side, up);
        self.set_up(up, node);
        self.set_up(node, above);
    }

    fn is_splay_root(&self, node: u32) -> bool {
        let up = self.up(node);
        up == NONE || self.child(up, 0) != node && self.child(up, 1) != node
    }

    fn side(&self, node: u32) -> usize {
        usize::from(self.child(self.up(node), 1) == node)
    }

    fn up(&self, node: u32) -> u32 {
        self.splay.get(node as usize).map_or(NONE, |splay| splay.up)
    }

    fn child(&self, node: u32, side: usize) -> u32 {
        let children = self.splay.get(node as usize).map_or([NONE; 2], |splay| splay.children);
        if side == 0 { children[0] } else { children[1] }
    }

    fn set_up(&mut self, node: u32, up: u32) {
        if let Some(splay) = self.splay.get_mut(node as usize) {
            splay.up = up;
        }
    }

    fn set_child(&mut self, node: u32, side: usize, child: u32) {
        if let Some(slot) = self.splay.get_mut(node as usize).and_then(|splay| splay.children.get_mut(side)) {
            *slot = child;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Links as pairs of parent and child, then the parents that come out.
    fn check(messages: &[(u32, &[u32])], want: &[Option<u32>]) {
        let mut links = Links::with_capacity(0);
        (0..want.len()).for_each(|_| _ = links.add());
        for (number, (node, references)) in messages.iter().enumerate() {
            links.add_message(*node, number as u32, references);
        }
        let got: Vec<_> = (0..links.len()).map(|node| links.parent(node)).collect();
        assert_eq!(got, want, "{messages:?}");
    }

    #[test]
    fn parents() {
        check(&[(0, &[]), (1, &[0]), (2, &[0, 1])], &[None, Some(0), Some(1)]);
        check(&[(2, &[0, 1])], &[None, Some(0), Some(1)]);
        // The first link stays, unless the message says otherwise.
        check(&[(3, &[0, 2]), (4, &[1, 2])], &[None, None, Some(0), Some(2), Some(2)]);
        check(&[(3, &[0, 2]), (2, &[1])], &[None, None, Some(1), Some(2)]);
        check(&[(3, &[0, 2]), (2, &[])], &[None, None, None, Some(2)]);
        // No loops.
        check(&[(0, &[0])], &[None]);
        check(&[(0, &[1]), (1, &[0])], &[Some(1), None]);
        check(&[(0, &[1]), (1, &[2]), (2, &[0])], &[Some(1), Some(2), None]);
    }

    #[test]
    fn loops_are_found_as_by_walking_up() {
        let mut links = Links::with_capacity(0);
        let count = 60;
        (0..count).for_each(|_| _ = links.add());
        let mut parents: Vec<Option<u32>> = vec![None; count as usize];
        let mut random = 1u32;
        let mut next = || {
            random = random.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            random >> 16
        };
        for _ in 0..20_000 {
            let (parent, child) = (next() % count, next() % count);
            if next() % 3 == 0 && links.parent(child).is_some() {
                links.set_parent(child, None);
                links.trees.cut(child);
                parents[child as usize] = None;
            }
            links.link(parent, child);
            let mut at = Some(parent);
            while at.is_some() && at != Some(child) {
                at = parents[at.unwrap() as usize];
            }
            if at.is_none() && parents[child as usize].is_none() {
                parents[child as usize] = Some(parent);
            }
            assert_eq!(links.parent(child), parents[child as usize]);
        }
    }
}
