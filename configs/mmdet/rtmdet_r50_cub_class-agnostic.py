# As PSOL does it: the detector learns where the object is, a classifier tells the class.
_base_ = ['./rtmdet_r50_cub.py']
metainfo = dict(classes=('object', ))
model = dict(bbox_head=dict(num_classes=1))
train_dataloader = dict(dataset=dict(ann_file='boxes/pseudo-train_agnostic.json', metainfo=metainfo))
val_dataloader = dict(dataset=dict(ann_file='boxes/gt-test_agnostic.json', metainfo=metainfo))
test_dataloader = val_dataloader
val_evaluator = dict(ann_file='data/CUB_200_2011/boxes/gt-test_agnostic.json')
test_evaluator = val_evaluator
