# ILSVRC2012 for detectors: as CUB, with other files.
_base_ = ['./cub.py']
data_root = 'data/ILSVRC2012/'
metainfo = dict(classes=data_root + 'boxes/gt-val.classes.txt')
train_dataloader = dict(
    num_workers=8,
    dataset=dict(data_root=data_root, metainfo=metainfo))
val_dataloader = dict(dataset=dict(data_root=data_root, ann_file='boxes/gt-val.json', metainfo=metainfo))
test_dataloader = val_dataloader
val_evaluator = dict(ann_file=data_root + 'boxes/gt-val.json')
test_evaluator = val_evaluator
