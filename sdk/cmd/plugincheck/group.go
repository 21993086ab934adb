package main

import "slices"

// group has the rows that are about the same.
type group[T any] struct {
	Name string
	Rows []T
}

// grouped returns the groups in the order in which their first rows come.
func grouped[T any](rows []T, name func(T) string) []group[T] {
	var groups []group[T]
	for _, row := range rows {
		i := slices.IndexFunc(groups, func(g group[T]) bool { return g.Name == name(row) })
		if i < 0 {
			i, groups = len(groups), append(groups, group[T]{Name: name(row)})
		}
		groups[i].Rows = append(groups[i].Rows, row)
	}
	return groups
}
