package stack

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"
)

// cgroupFolder is where control groups are mounted: one hierarchy for all
// controllers or, in the first version, a folder with one for each.
const cgroupFolder = "/sys/fs/cgroup"

// makeCgroups makes a control group in each hierarchy for the containers of a
// run.
func makeCgroups(runDir string) error {
	hierarchies, err := cgroupHierarchies()
	if err != nil {
		return err
	}
	for _, hierarchy := range hierarchies {
		group := cgroupOf(hierarchy, runDir)
		if err := os.Mkdir(group, 0o755); err != nil {
			return fmt.Errorf("make a control group: %w", err)
		}
		if err := inheritProcessors(hierarchy, group); err != nil {
			return err
		}
	}
	return nil
}

// cgroupHierarchies returns the roots of the mounted hierarchies.
func cgroupHierarchies() ([]string, error) {
	if isCgroup(cgroupFolder) {
		return []string{cgroupFolder}, nil
	}
	folders, err := filepath.Glob(filepath.Join(cgroupFolder, "*"))
	if err != nil {
		return nil, err
	}
	var hierarchies []string
	for _, folder := range folders {
		// Links are second names of a hierarchy with two controllers.
		if info, err := os.Lstat(folder); err == nil && info.IsDir() && isCgroup(folder) {
			hierarchies = append(hierarchies, folder)
		}
	}
	if len(hierarchies) == 0 {
		return nil, fmt.Errorf("no control groups are mounted on %s", cgroupFolder)
	}
	return hierarchies, nil
}

// cgroupsWritable is an error where no control groups can be made, as in many
// containers.
func cgroupsWritable() error {
	hierarchies, err := cgroupHierarchies()
	if err != nil {
		return err
	}
	for _, hierarchy := range hierarchies {
		if err := unix.Access(hierarchy, unix.W_OK); err != nil {
			return fmt.Errorf("no control groups can be made in %s: %w", hierarchy, err)
		}
	}
	return nil
}

func isCgroup(folder string) bool {
	var system unix.Statfs_t
	if err := unix.Statfs(folder, &system); err != nil {
		return false
	}
	return system.Type == unix.CGROUP_SUPER_MAGIC || system.Type == unix.CGROUP2_SUPER_MAGIC
}

// inheritProcessors gives a new group the processors and memory nodes of its
// parent. The first version of control groups starts it with none, and nothing
// can run in it.
func inheritProcessors(parent, group string) error {
	for _, name := range []string{"cpuset.cpus", "cpuset.mems"} {
		value, err := os.ReadFile(filepath.Join(parent, name))
		if errors.Is(err, os.ErrNotExist) {
			continue
		}
		if err != nil {
			return err
		}
		if err := os.WriteFile(filepath.Join(group, name), value, 0o644); err != nil {
			return err
		}
	}
	return nil
}

// cgroupOf is the group of a run, which has the name of the run's folder.
func cgroupOf(hierarchy, runDir string) string {
	return filepath.Join(hierarchy, filepath.Base(runDir))
}

// removeCgroups removes the control groups of a run. They are empty once its
// processes are gone.
func removeCgroups(runDir string) error {
	hierarchies, err := cgroupHierarchies()
	if err != nil {
		return nil // none mounted, none made
	}
	var errs []error
	for _, hierarchy := range hierarchies {
		errs = append(errs, removeCgroup(cgroupOf(hierarchy, runDir)))
	}
	return errors.Join(errs...)
}

// removeCgroup removes a group with those in it, if there is one.
func removeCgroup(group string) error {
	entries, err := os.ReadDir(group)
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	for _, entry := range entries {
		if entry.IsDir() {
			err = errors.Join(err, removeCgroup(filepath.Join(group, entry.Name())))
		}
	}
	return errors.Join(err, unix.Rmdir(group))
}
