package cluster

import (
	"errors"
	"fmt"
	"runtime/debug"
	"slices"

	"dtpx/cluster/internal/group"
)

// Group is a name and a secret, see the package group.
type Group = group.Group

// NodeID is who a node is: the fingerprint of its key.
type NodeID = group.NodeID

// File is what group.json holds.
type File = group.File

// NewGroup makes a group with a fresh secret of 128 bits.
func NewGroup(name string, trusted bool) (Group, error) { return group.New(name, trusted) }

// ParseCode reads a join code.
func ParseCode(code string) (Group, error) { return group.ParseCode(code) }

// ParseNodeID reads a node's key as dtpx peers shows it in full.
func ParseNodeID(text string) (NodeID, error) { return group.ParseNodeID(text) }

// FromPassphrase makes the group whose secret a person typed into a config
// file. It takes a tenth of a second and, for that time, 64 MiB.
func FromPassphrase(name, phrase string, trusted bool) (Group, error) {
	defer debug.FreeOSMemory() // an idle member is small
	return group.FromPassphrase(name, phrase, trusted)
}

// ReadGroup reads the group.json in dir; where there is none it is empty.
func ReadGroup(dir string) (File, error) { return loadGroup(dir) }

// EnterGroup writes g into the group.json in dir. A running node notices
// within a second. The node's key and its blocked list stay.
func EnterGroup(dir string, g Group) (File, error) {
	file, err := loadGroup(dir)
	if err != nil {
		return file, err
	}
	if file.Key.IsZero() {
		file.Key = group.NewNodeKey()
	}
	file.Group = g
	return file, file.Save(groupPath(dir))
}

// LeaveGroup takes the group out of group.json.
func LeaveGroup(dir string) (File, error) {
	file, err := loadGroup(dir)
	if err != nil {
		return file, err
	}
	if file.Group.IsZero() {
		return file, errors.New("in no group")
	}
	left := file
	left.Group = Group{}
	return file, left.Save(groupPath(dir))
}

// BlockNode puts a node on the blocked list, or with undo takes it off.
func BlockNode(dir string, id NodeID, undo bool) error {
	file, err := loadGroup(dir)
	if err != nil {
		return err
	}
	if file.Key.IsZero() {
		file.Key = group.NewNodeKey()
	}
	switch {
	case id == file.Key.ID():
		return errors.New("that is this node's own key")
	case undo && !file.Blocks(id):
		return fmt.Errorf("%s is not blocked", id.Short())
	case undo:
		file.Blocked = slices.DeleteFunc(file.Blocked, func(b NodeID) bool { return b == id })
	case !file.Blocks(id):
		file.Blocked = append(file.Blocked, id)
	}
	return file.Save(groupPath(dir))
}
