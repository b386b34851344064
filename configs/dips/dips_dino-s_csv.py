# DiPS (Murtaza et al., IVC 2023) on images of your own: a CSV with the lines path,split,label,x0,y0,x1,y1, boxes needed
# for val and test only. It stands in for the paper's TelDrone, which is not public: two classes, with and without
# object. Set num_classes and, if images of a class have no object, background_class; with five classes or more,
# topk=(1, 5) and topk=5 are possible.
_base_ = ['./dips_dino-s_cub.py']
dataset = dict(_delete_=True, type='mmwsol.LocListDataset', data_root='data/custom', ann_file='list.csv', format='csv')
train_dataloader = dict(dataset=dict(dataset, split='train', pipeline={{_base_.train_pipeline}}))
val_dataloader = dict(dataset=dict(dataset, split='val', test_mode=True, pipeline={{_base_.test_pipeline}}))
test_dataloader = dict(dataset=dict(dataset, split='test', test_mode=True, pipeline={{_base_.test_pipeline}}))
val_evaluator = [
    dict(type='mmpretrain.Accuracy', topk=(1, ), prefix='cls'),
    dict(type='mmwsol.LocAccuracy', protocol='dips', topk=(1, ), map_to_box=dict(type='mmwsol.ContourBox', preset='dips'),
         threshold=dict(grid=0.001, select_by='gt_known', select_on='val')),
    dict(type='mmwsol.MaxBoxAcc', map_to_box=dict(type='mmwsol.ContourBox', preset='dips')),
]
test_evaluator = val_evaluator
model = dict(head=dict(num_classes=2, topk=2, background_class=None))
stages = [
    {{_base_.classifier_stage}},
    dict(
        name='proposals',
        train_dataloader=dict(dataset=dict(pipeline={{_base_.test_pipeline}})),
        train_cfg=dict(_delete_=True, type='mmwsol.OfflineLoop', writer=dict(
            type='mmwsol.ProposalWriter', min_area=0.04))),  # small objects: 0, .04, .06
    {{_base_.decoder_stage}},
]
